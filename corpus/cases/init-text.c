//# what: a function that is gone after boot changes
//# exit: 2
#include "kernel.h"

in_section(".init.text") int set_up_clock(u32 clock)
{
#ifdef PATCHED
	write_register(clock, 0);
#endif
	write_register(clock, 1);
	return 0;
}

in_section(".init.text") int set_up_timer(u32 timer)
{
	write_register(timer, 7);
	return 0;
}

int read_clock(u32 clock)
{
	return read_register(clock);
}
