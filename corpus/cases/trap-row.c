//# what: a changed function has a row in __bug_table, and so have unchanged ones
//# changed: verify_seal
#include "kernel.h"

int verify_seal(u32 seal)
{
	if (unlikely(read_register(seal) == 0))
		TRAP(TRAP_WARNING);
#ifdef PATCHED
	if (unlikely(read_register(seal) == 1))
		TRAP(TRAP_WARNING | TRAP_ONCE);
#endif
	return 0;
}

int verify_stamp(u32 stamp)
{
	if (unlikely(read_register(stamp) == 2))
		TRAP(TRAP_WARNING);
	write_register(stamp, 0);
	return 0;
}
