//# what: what is built into the kernel has no exit, so that a change of one has no effect
//# exit: 2
//# says: it never runs: what is built into the kernel has no exit
#include "kernel.h"

in_section(".exit.text") void stop_motor(void)
{
	write_register(3, 0);
#ifdef PATCHED
	write_register(4, 0);
#endif
}
