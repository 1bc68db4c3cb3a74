//# what: line numbers differ in both functions, and one of them also really changes
//# changed: claim_range
//# changed[loongarch64]: claim_range drop_range
#include "kernel.h"

#define WARNING(text) __warn_printk("%s() line %d: " text, __func__, __LINE__)
#ifdef PATCHED
#line 700
#endif

int claim_range(u32 from, u32 to)
{
#ifdef PATCHED
	if (unlikely(from >= to)) {
#else
	if (unlikely(from > to)) {
#endif
		WARNING("range is empty\n");
		return -1;
	}
	write_register(from, to);
	return 0;
}

int drop_range(u32 from, u32 to)
{
	if (unlikely(from > to)) {
		WARNING("range is empty\n");
		return -1;
	}
	write_register(to, from);
	return 0;
}
