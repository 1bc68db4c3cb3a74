//# what: a function that goes on running calls a new one that is freed after boot
//# exit: 2
#include "kernel.h"

#ifdef PATCHED
static noinline in_section(".init.text") u32 guess_speed(u32 motor)
{
	return read_register(motor) * 5;
}
#endif

in_section(".init.text") u32 set_up_speed(u32 motor)
{
	return read_register(motor);
}

u32 current_speed(u32 motor)
{
#ifdef PATCHED
	if (!motor)
		return guess_speed(motor);
#endif
	return read_register(motor);
}
