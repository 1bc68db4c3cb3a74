//# what: one of two rows of a table went away
//# exit: 2
//# says: nothing refers to it
#include "kernel.h"

u32 first_step(void)
{
	return read_register(1);
}

u32 second_step(void)
{
	return read_register(2);
}

static u32 (*const first_row)(void) keep in_section("step_table") = first_step;
#ifndef PATCHED
static u32 (*const second_row)(void) keep in_section("step_table") = second_step;
#endif
