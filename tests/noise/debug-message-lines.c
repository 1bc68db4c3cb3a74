//# what: dynamic debug: the line in a message's descriptor
//# real: 2 the initial value of
#include "kernel.h"
#include "descriptor.h"
#ifdef NOISE
#define LINE 90
#else
#define LINE 80
#endif
#ifdef REAL
#define TEXT "door no. %u\n"
#else
#define TEXT "door %u\n"
#endif
void open_door(u32 door)
{
	DEBUG_MESSAGE(TEXT, LINE, 0, door);
	write_register(0, door);
}
