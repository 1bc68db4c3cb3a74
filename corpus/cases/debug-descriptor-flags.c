//# what: a debug message is now printed from the start, but its descriptor is the running kernel's
//# exit: 2
#include "kernel.h"
#include "descriptor.h"

#ifdef PATCHED
#define PRINT 1
#else
#define PRINT 0
#endif

void open_door(u32 door)
{
	DEBUG_MESSAGE("door %u\n", 80, PRINT, door);
	write_register(0, door);
}
