//# what: two blocks with static locals of one name change places, and nothing tells which is which
//# exit: 2
//# says: it is unclear which static local variable of the original
//# machines: x86_64 aarch64 s390x loongarch64
#include "kernel.h"

u32 count_branch(u32 value)
{
#ifdef PATCHED
	if (value < 3) {
		static u32 taken;

		write_register(8, ++taken);
	} else {
		static u32 taken;

		wait_for(++taken);
	}
#else
	if (value > 3) {
		static u32 taken;

		wait_for(++taken);
	} else {
		static u32 taken;

		write_register(8, ++taken);
	}
#endif
	return value;
}
