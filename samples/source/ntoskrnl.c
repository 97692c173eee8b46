/* The kernel of the sample machine: how a worker thread comes to a driver, and what happens when the driver faults.
   Built by mingw-w64 and run in an emulator; the stack in the dump is what this code left there. */

#include "shared.h"

struct EXCEPTION_RECORD {
    u32 code, flags;
    u64 record, address;
    u32 count, pad;
    u64 information[15];
};

struct TRAP_FRAME { /* KTRAP_FRAME */
    u64 home[5];
    u8 previous_mode, previous_irql, fault_indicator, exception_active;
    u32 mxcsr;
    u64 rax, rcx, rdx, r8, r9, r10, r11, gs;
    u8 xmm[0x60];
    u64 fault_address;
    u8 middle[0x130 - 0xD8];
    u16 ds, es, fs, gs_selector;
    u64 trap_frame, rbx, rdi, rsi, rbp, error_code, rip;
    u16 cs, fill1[3];
    u32 eflags, fill2;
    u64 rsp;
    u16 ss, fill3[3];
};

struct EXCEPTION_FRAME { /* KEXCEPTION_FRAME */
    u64 home[6];
    u8 xmm[0xA0];
    u64 trap_frame, old_irql, mxcsr, unused[2], rbp, rbx, rdi, rsi, r12, r13, r14, r15, back;
};

struct CONTEXT {
    u64 home[6];
    u32 flags, mxcsr;
    u16 cs, ds, es, fs, gs, ss;
    u32 eflags;
    u64 dr[6];
    u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rip;
    u16 control_word, status_word;
    u8 tag_word, pad;
    u8 middle[0x18 - 6];
    u8 fxsave[0x200 - 0x1E];
    u8 rest[0x4D0 - 0x300];
};

struct WORK_ITEM {
    void (*routine)(struct WORK_ITEM *);
    struct DEVICE_OBJECT *device;
    struct IRP *irp;
};

/* The kernel's own data that a dump is read by. The block is where the image's data is, as in the real kernel. */
u8 KdDebuggerDataBlock[0x380] __attribute__((aligned(16))) = {1};
u64 PsLoadedModuleList[2] __attribute__((aligned(16))) = {1};
u64 PsActiveProcessHead[2] __attribute__((aligned(16))) = {1};
u64 KiProcessorBlock[64] __attribute__((aligned(16))) = {1};
u64 MmUnloadedDrivers = 1;
u32 MmLastUnloadedDriver = 1;
u64 MmPhysicalMemoryBlock = 1;
u64 KiBugcheckData[5] = {1};
char NtBuildLab[64] = "@BUILD_LAB@";
/* Makes the image as large as a kernel; takes no room in the file. */
u8 MiState[0x9C0000];

#define ACCESS_VIOLATION 0xC0000005u

EXPORT void KeBugCheckEx(u32 code, u64 one, u64 two, u64 three, u64 four)
{
    volatile u64 *data = KiBugcheckData;
    data[0] = code;
    data[1] = one;
    data[2] = two;
    data[3] = three;
    data[4] = four;
    for (;;)
        __asm__ volatile("hlt");
}

INTERNAL long PspSystemThreadFilter(struct EXCEPTION_RECORD *record, struct CONTEXT *context)
{
    volatile u64 room[2];
    room[0] = record->code;
    KeBugCheckEx(0x7E, (u64)(long long)(int)record->code, record->address, (u64)record, (u64)context);
    return (long)room[0];
}

INTERNAL long CSpecificHandler(struct EXCEPTION_RECORD *record, struct CONTEXT *context, u64 frame)
{
    volatile u64 room[9];
    room[4] = frame;
    return PspSystemThreadFilter(record, context) + (long)room[4];
}

INTERNAL long RtlpExecuteHandlerForException(struct EXCEPTION_RECORD *record, struct CONTEXT *context, u64 frame)
{
    volatile u64 room[3];
    room[1] = frame;
    return CSpecificHandler(record, context, room[1]) + 1;
}

INTERNAL long RtlDispatchException(struct EXCEPTION_RECORD *record, struct CONTEXT *context)
{
    volatile u64 room[140];
    room[7] = context->rsp;
    return RtlpExecuteHandlerForException(record, context, room[7]) + (long)room[7];
}

INTERNAL void KeContextFromKframes(struct TRAP_FRAME *trap, struct EXCEPTION_FRAME *frame, struct CONTEXT *context)
{
    volatile u8 *clear = (volatile u8 *)context;
    for (u32 at = 0; at < sizeof *context; at++)
        clear[at] = 0;
    context->flags = 0x10001F;
    context->mxcsr = 0x1F80;
    *(volatile u32 *)(context->middle + 0x12) = 0x1F80; /* MxCsr of the FXSAVE area, at 0x118 */
    context->control_word = 0x27F;
    context->cs = trap->cs;
    context->ds = context->es = context->gs = 0x2B;
    context->fs = 0x53;
    context->ss = trap->ss;
    context->eflags = trap->eflags;
    context->rax = trap->rax;
    context->rcx = trap->rcx;
    context->rdx = trap->rdx;
    context->rbx = frame->rbx;
    context->rsp = trap->rsp;
    context->rbp = trap->rbp;
    context->rsi = frame->rsi;
    context->rdi = frame->rdi;
    context->r8 = trap->r8;
    context->r9 = trap->r9;
    context->r10 = trap->r10;
    context->r11 = trap->r11;
    context->r12 = frame->r12;
    context->r13 = frame->r13;
    context->r14 = frame->r14;
    context->r15 = frame->r15;
    context->rip = trap->rip;
}

__attribute__((noinline, used)) void KiDispatchException(
    struct EXCEPTION_RECORD *record, struct EXCEPTION_FRAME *frame, struct TRAP_FRAME *trap)
{
    struct CONTEXT context __attribute__((aligned(16)));
    volatile u64 *information = record->information;
    record->code = ACCESS_VIOLATION;
    record->flags = 0;
    record->record = 0;
    record->address = trap->rip;
    record->count = 2;
    information[0] = (trap->error_code & 2) != 0;
    information[1] = trap->fault_address;
    KeContextFromKframes(trap, frame, &context);
    RtlDispatchException(record, &context);
}

/* Entry of the page fault: the processor has pushed SS, RSP, EFLAGS, CS, RIP and the error code. */
__asm__(
    ".intel_syntax noprefix\n"
    ".text\n"
    ".p2align 4\n"
    ".globl KiPageFault\n"
    ".seh_proc KiPageFault\n"
    "KiPageFault:\n"
    ".seh_pushframe code\n"
    "  push rbp\n"
    ".seh_pushreg rbp\n"
    "  sub rsp, 0x158\n"
    ".seh_stackalloc 0x158\n"
    "  lea rbp, [rsp+0x80]\n"
    ".seh_setframe rbp, 0x80\n"
    ".seh_endprologue\n"
    "  mov byte ptr [rbp-0x55], 1\n"
    "  mov qword ptr [rbp-0x50], rax\n"
    "  mov qword ptr [rbp-0x48], rcx\n"
    "  mov qword ptr [rbp-0x40], rdx\n"
    "  mov qword ptr [rbp-0x38], r8\n"
    "  mov qword ptr [rbp-0x30], r9\n"
    "  mov qword ptr [rbp-0x28], r10\n"
    "  mov qword ptr [rbp-0x20], r11\n"
    "  mov dword ptr [rbp-0x54], 0x1F80\n"
    "  mov rax, cr2\n"
    "  mov qword ptr [rbp+0x50], rax\n"
    "  call KiExceptionDispatch\n"
    "  nop\n"
    "  add rsp, 0x158\n"
    "  pop rbp\n"
    "  add rsp, 8\n"
    "  iretq\n"
    ".seh_endproc\n"
    ".p2align 4\n"
    ".globl KiExceptionDispatch\n"
    ".seh_proc KiExceptionDispatch\n"
    "KiExceptionDispatch:\n"
    "  sub rsp, 0x1D8\n"
    ".seh_stackalloc 0x1D8\n"
    "  mov qword ptr [rsp+0xF8], rbp\n"
    "  mov qword ptr [rsp+0x100], rbx\n"
    ".seh_savereg rbx, 0x100\n"
    "  mov qword ptr [rsp+0x108], rdi\n"
    ".seh_savereg rdi, 0x108\n"
    "  mov qword ptr [rsp+0x110], rsi\n"
    ".seh_savereg rsi, 0x110\n"
    "  mov qword ptr [rsp+0x118], r12\n"
    ".seh_savereg r12, 0x118\n"
    "  mov qword ptr [rsp+0x120], r13\n"
    ".seh_savereg r13, 0x120\n"
    "  mov qword ptr [rsp+0x128], r14\n"
    ".seh_savereg r14, 0x128\n"
    "  mov qword ptr [rsp+0x130], r15\n"
    ".seh_savereg r15, 0x130\n"
    ".seh_endprologue\n"
    "  lea rcx, [rsp+0x140]\n"
    "  mov rdx, rsp\n"
    "  lea r8, [rbp-0x80]\n"
    "  call KiDispatchException\n"
    "  nop\n"
    "  add rsp, 0x1D8\n"
    "  ret\n"
    ".seh_endproc\n"
    ".att_syntax\n");

EXPORT long IofCallDriver(struct DEVICE_OBJECT *device, struct IRP *irp)
{
    volatile u64 room[3];
    irp->current_location--;
    irp->current--;
    room[0] = irp->current->major;
    return device->driver->major[room[0]](device, irp) + (long)(room[0] & 0);
}

INTERNAL void IopProcessWorkItem(struct WORK_ITEM *item)
{
    volatile long status = IofCallDriver(item->device, item->irp);
    item->routine = status ? 0 : item->routine;
}

INTERNAL void ExpWorkerThread(struct WORK_ITEM *item)
{
    volatile u64 room[22];
    room[5] = (u64)item;
    item->routine(item);
    room[6] = room[5];
}

INTERNAL void PspSystemThreadStartup(void (*routine)(struct WORK_ITEM *), struct WORK_ITEM *item)
{
    volatile u64 room[6];
    room[2] = 1;
    routine(item);
    room[2] = 0;
}

EXPORT void KiStartSystemThread(struct WORK_ITEM *item)
{
    volatile u64 room[4];
    item->routine = IopProcessWorkItem;
    PspSystemThreadStartup(ExpWorkerThread, item);
    room[0] = 0;
}

EXPORT void KiSystemStartup(void *block)
{
    volatile void *loader = block;
    MiState[1] = loader != 0;
    NtBuildLab[63] = PsLoadedModuleList[0] != PsActiveProcessHead[0];
    KiProcessorBlock[1] = KdDebuggerDataBlock[0] + MmUnloadedDrivers + MmLastUnloadedDriver + MmPhysicalMemoryBlock;
}
