//# what: a value that assembly names, without a size
//# exit: 2
#include "kernel.h"

#ifdef PATCHED
#define VALUE "2"
#else
#define VALUE "1"
#endif

asm(".pushsection .rodata, \"a\"\n"
    ".balign 4\n"
    ".globl step_width\n"
    "step_width:\n"
    ".long " VALUE "\n"
    ".popsection\n");

extern const u32 step_width;

u32 next_step(u32 step)
{
	return read_register(step + step_width);
}
