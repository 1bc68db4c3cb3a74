//# what: code without any name changed
//# exit: 2
//# says: section .text.entry changed and nothing explains it
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define VALUE "2"
#else
#define VALUE "1"
#endif

asm(".pushsection .text.entry, \"ax\"\n"
    "movl $" VALUE ", %eax\n"
    "ret\n"
    ".popsection\n");

u32 next_step(u32 step)
{
	return read_register(step);
}
