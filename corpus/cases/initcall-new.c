//# what: a new initcall: the kernel has booted
//# exit: 2
//# says: nothing refers to it
#include "kernel.h"

int prepare(void)
{
	return read_register(1);
}

#ifdef PATCHED
static int (*prepare_row)(void) keep in_section(".initcall6.init") = prepare;
#endif
