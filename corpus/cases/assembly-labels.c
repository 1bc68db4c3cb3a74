//# what: a value that assembly names, among others, without a size
//# exit: 2
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define VALUE "2"
#else
#define VALUE "1"
#endif

asm(".pushsection .rodata, \"a\"\n"
    ".balign 4\n"
    "steps_start:\n"
    ".long 7\n"
    "step_width:\n"
    ".long " VALUE "\n"
    "steps_end:\n"
    ".popsection\n");

extern const u32 steps_start[], step_width, steps_end[];

u32 next_step(u32 step)
{
	if (step > steps_end - steps_start)
		return 0;
	return read_register(step + step_width);
}
