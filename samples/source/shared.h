/* The few kernel structures that the crash goes through, as the WDK publishes them (build 17763, x64). */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT __declspec(dllexport) __attribute__((noinline))
#define INTERNAL static __attribute__((noinline))

struct DEVICE_OBJECT;
struct IRP;
typedef long (*Dispatch)(struct DEVICE_OBJECT *, struct IRP *);

struct DRIVER_OBJECT {
    u8 head[0x70];
    Dispatch major[28];
};

struct DEVICE_OBJECT {
    u16 type, size;
    u32 references;
    struct DRIVER_OBJECT *driver;
    u8 middle[0x30];
    void *extension; /* 0x40 */
};

struct STACK_LOCATION {
    u8 major, minor, flags, control;
    u8 rest[0x44];
};

struct IRP {
    u8 head[0x42];
    u8 stack_count, current_location;
    u8 middle[0xB8 - 0x44];
    struct STACK_LOCATION *current; /* 0xB8 */
};

/* What the framework and its client know of each other. */
struct Framework {
    long (*request_send)(struct Framework *, void *request, void *target);
    long (*evt_io_internal_device_control)(struct Framework *, void *queue, void *request, u64 length);
    void *local_target;
};
