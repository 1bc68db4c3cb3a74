//# what: a function that goes on running changes, and refers to what is freed after boot as before
//# changed: current_speed
#include "kernel.h"

static u32 in_section(".init.data") boot_speed = 3;

in_section(".init.text") u32 set_up_speed(u32 speed)
{
	boot_speed += speed;
	return boot_speed;
}

__attribute__((section(".ref.text"))) u32 current_speed(u32 motor)
{
	if (!motor)
		return boot_speed;
#ifdef PATCHED
	motor += 2;
#endif
	return read_register(motor);
}
