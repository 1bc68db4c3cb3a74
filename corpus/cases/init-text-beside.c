//# what: a function that is gone after boot changes beside one that goes on running
//# changed: current_speed
#include "kernel.h"

#ifdef PATCHED
#define FACTOR 5
#else
#define FACTOR 3
#endif

in_section(".init.text") u32 set_up_speed(u32 motor)
{
	return read_register(motor) * FACTOR;
}

u32 current_speed(u32 motor)
{
	return read_register(motor) + FACTOR;
}
