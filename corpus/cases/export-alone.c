//# what: a new export alone: a livepatch does not change exports
//# exit: 2
//# says: __export_symbol_try_again
//# machines: x86_64
#include "kernel.h"

void try_again(u32 count)
{
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
