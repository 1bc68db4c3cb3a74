//# what: a changed function uses static variables that are new, one zeroed and one with a value
//# changed: note_failure
#include "kernel.h"

#ifdef PATCHED
static u32 failures;
static u32 next_report = 16;
#endif

void note_failure(u32 unit)
{
#ifdef PATCHED
	if (++failures < next_report)
		return;
	next_report += next_report;
#endif
	write_register(unit, 0xdead);
}
