/* The storage filter of the sample machine: it forwards the request to a target that it never opened. */

#include "shared.h"

INTERNAL long ForwardToTarget(struct Framework *framework, void *request)
{
    volatile u64 room[13];
    room[4] = (u64)framework->local_target;
    return framework->request_send(framework, request, (void *)room[4]) + (long)(room[4] & 0);
}

EXPORT long EvtIoInternalDeviceControl(struct Framework *framework, void *queue, void *request, u64 length)
{
    volatile u64 room[6];
    room[1] = length;
    room[2] = (u64)queue;
    return ForwardToTarget(framework, request) + (long)(room[1] & 0);
}

EXPORT long DriverEntry(void *object, void *path)
{
    return object == path;
}
