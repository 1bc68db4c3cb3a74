//# what: a new row of a table that the kernel finds through its section: no patch brings that about
//# exit: 2
//# says: nothing refers to it
#include "kernel.h"

u32 first_step(void)
{
	return read_register(1);
}

#ifdef PATCHED
static u32 (*const step_row)(void) keep in_section("step_table") = first_step;
#endif
