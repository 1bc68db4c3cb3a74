//# what: WARN: the line in a row of the bug table
//# rule: row-noise-fields __bug_table
//# real: 0 changed function: verify_depth
#include "kernel.h"
#ifdef NOISE
#line 250
#endif
#ifdef REAL
#define FLAGS (TRAP_WARNING | TRAP_ONCE)
#else
#define FLAGS TRAP_WARNING
#endif
int verify_depth(u32 depth)
{
	if (unlikely(depth > 16))
		TRAP(FLAGS);
	write_register(0, depth);
	return 0;
}
