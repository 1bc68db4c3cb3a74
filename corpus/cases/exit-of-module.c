//# what: the exit of a module stays until it is unloaded, and the object says that it is of one
//# changed: stop_motor
#include "kernel.h"

in_section(".exit.text") void stop_motor(void)
{
	write_register(3, 0);
#ifdef PATCHED
	write_register(4, 0);
#endif
}

void cleanup_module(void) __attribute__((alias("stop_motor")));
