//# what: a static function specialised for a constant argument (.constprop) differs
//# changed[gcc]: scale_value.constprop.0
//# changed[clang]: scale_value
#include "kernel.h"

static noinline u32 scale_value(u32 value, u32 factor, const u32 *bias)
{
	u32 i;

	for (i = 0; i < factor; i++)
		value += read_register(i) * bias[i & 1];
#ifdef PATCHED
	if (value > 10000)
		value = 10000;
#endif
	return value;
}

static const u32 small_bias[] = { 1, 2 };

u32 scale_input(u32 value)
{
	return scale_value(value, 6, small_bias) + 5;
}

u32 scale_output(u32 value)
{
	return scale_value(value + 1, 6, small_bias) + 9;
}
