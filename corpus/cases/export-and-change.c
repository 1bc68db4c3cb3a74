//# what: a new export beside a changed function: that is carried, and a warning names the export
//# changed: try_again
//# machines: x86_64
#include "kernel.h"

void try_again(u32 count)
{
#ifdef PATCHED
	if (!count)
		return;
#endif
	write_register(0, count);
}

#ifdef PATCHED
asm(".pushsection .export_symbol, \"a\"\n"
    "__export_symbol_try_again:\n"
    ".asciz \"\"\n"
    ".balign 8\n"
    ".quad try_again\n"
    ".popsection\n");
#endif
