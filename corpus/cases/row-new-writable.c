//# what: a new row without a name of a table that can be written
//# exit: 2
//# says: nothing explains it
#include "kernel.h"

u32 first_step(void)
{
	return read_register(1);
}

#ifdef PATCHED
asm(".pushsection step_table, \"aw\"\n"
    ".quad first_step\n"
    ".popsection\n");
#endif
