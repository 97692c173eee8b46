/* The driver framework of the sample machine: it hands a request to its client, and the client hands it back. */

#include "shared.h"

struct Target {
    u8 head[0x28];
    volatile u64 state;
};

/* The target is gone: its handle gives a null object, and the read of its state faults. */
INTERNAL long FxIoTargetSubmit(struct Framework *framework, void *request, struct Target *target)
{
    volatile u64 room[10];
    room[1] = (u64)request;
    room[2] = target->state;
    return (long)(room[2] + (framework != 0));
}

EXPORT long WdfRequestSend(struct Framework *framework, void *request, void *target)
{
    volatile u64 room[5];
    room[0] = (u64)target;
    return FxIoTargetSubmit(framework, request, (struct Target *)room[0]) + (long)(room[0] & 0);
}

INTERNAL long FxIoQueueDispatchRequestToDriver(struct Framework *framework, void *request)
{
    volatile u64 room[17];
    room[3] = 0x38;
    return framework->evt_io_internal_device_control(framework, (void *)room, request, room[3]);
}

INTERNAL long FxIoQueueDispatchEvents(struct Framework *framework, void *request)
{
    volatile u64 room[8];
    room[6] = FxIoQueueDispatchRequestToDriver(framework, request);
    return (long)room[6];
}

EXPORT long FxDeviceDispatchWithLock(struct DEVICE_OBJECT *device, struct IRP *irp)
{
    volatile u64 room[11];
    room[9] = FxIoQueueDispatchEvents((struct Framework *)device->extension, irp);
    return (long)room[9];
}

EXPORT long DriverEntry(void *object, void *path)
{
    return object == path;
}
