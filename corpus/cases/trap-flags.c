//# what: code and relocations are equal, but the __bug_table row now says to warn once
//# changed: verify_length
#include "kernel.h"

#ifdef PATCHED
#define FLAGS (TRAP_WARNING | TRAP_ONCE)
#else
#define FLAGS TRAP_WARNING
#endif

int verify_length(u32 length)
{
	if (unlikely(length > 1500))
		TRAP(FLAGS);
	write_register(0, length);
	return 0;
}

int verify_offset(u32 offset)
{
	if (unlikely(offset > 1500))
		TRAP(TRAP_WARNING);
	write_register(1, offset);
	return 0;
}
