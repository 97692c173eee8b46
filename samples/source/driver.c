/* What every driver of a sample disk is made of that plays no part in the crash: an entry, a dispatch routine and a
   read-only table, so that the file has code, unwind data, exports and sections as a driver has. */

typedef long (*Dispatch)(void *device, void *irp);

static __attribute__((noinline)) long complete(long status, volatile long *counter)
{
    volatile long room[12];
    room[3] = status;
    *counter += 1;
    return room[3];
}

static long dispatch(void *device, void *irp)
{
    volatile long counter = device != irp;
    return complete(0, &counter) + counter - 1;
}

__declspec(dllexport) long DriverEntry(void *object, void *path)
{
    volatile Dispatch routine = dispatch;
    return routine(object, path);
}
