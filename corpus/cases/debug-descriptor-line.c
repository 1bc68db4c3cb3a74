//# what: only the line number in a debug message's descriptor changed
//# exit: 3
#include "kernel.h"
#include "descriptor.h"

#ifdef PATCHED
#define LINE 90
#else
#define LINE 80
#endif

void open_door(u32 door)
{
	DEBUG_MESSAGE("door %u\n", LINE, 0, door);
	write_register(0, door);
}
