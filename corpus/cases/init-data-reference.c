//# what: a function that goes on running begins to read what is freed after boot
//# exit: 2
#include "kernel.h"

static u32 in_section(".init.data") boot_speed = 3;

in_section(".init.text") u32 set_up_speed(u32 speed)
{
	boot_speed += speed;
	return boot_speed;
}

u32 current_speed(u32 motor)
{
#ifdef PATCHED
	if (!motor)
		return boot_speed;
#endif
	return read_register(motor);
}
