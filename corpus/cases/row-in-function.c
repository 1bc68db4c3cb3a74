//# what: a row that a function defines, but that only its section leads to, has another text
//# exit: 2
#include "kernel.h"

#ifdef PATCHED
#define TEXT "new period"
#else
#define TEXT "old period"
#endif

void start_period(u32 period)
{
	static const char *const row keep in_section("__tracepoint_str") = TEXT;

	write_register(0, period);
}
