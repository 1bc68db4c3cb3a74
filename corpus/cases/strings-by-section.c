//# what: strings that only their section leads to
//# exit: 2
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define NAME "beta"
#else
#define NAME "alfa"
#endif

asm(".pushsection step_names, \"aMS\", @progbits, 1\n"
    ".asciz \"" NAME "\"\n"
    ".popsection\n");

u32 next_step(u32 step)
{
	return read_register(step);
}
