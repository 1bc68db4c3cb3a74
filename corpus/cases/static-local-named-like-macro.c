//# what: state whose name begins like that of a macro's variable; its function changes
//# changed: limit_rate
#include "kernel.h"

u32 limit_rate(u32 rate)
{
	static u32 _rs_count = 5;
	static u32 CSWTCHER = 9;

	_rs_count += rate;
	CSWTCHER += 3;
#ifdef PATCHED
	if (read_register(rate) > 4)
		return 0;
#endif
	return read_register(_rs_count) + read_register(CSWTCHER);
}
