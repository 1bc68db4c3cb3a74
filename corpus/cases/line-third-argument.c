//# what: line numbers that are the third argument of a warning differ
//# exit: 3
//# exit[loongarch64]: 0
//# changed[loongarch64]: check_voltage check_current
//# exit[powerpc64-clang]: 2
#include "kernel.h"

#define WARNING(text, value) __warn_printk(text, __func__, __LINE__, value)
#ifdef PATCHED
#line 500
#endif

int check_voltage(u32 voltage)
{
	if (unlikely(voltage > 240)) {
		WARNING("%s, line %d: voltage %u is too high\n", voltage);
		return -1;
	}
	write_register(0, voltage);
	return 0;
}

int check_current(u32 current)
{
	if (unlikely(current > 16)) {
		WARNING("%s, line %d: current %u is too high\n", current);
		return -1;
	}
	write_register(1, current);
	return 0;
}
