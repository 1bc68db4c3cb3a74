//# what: a variable starts with another value, which a running kernel cannot take over
//# exit: 2
#include "kernel.h"

#ifdef PATCHED
u32 retry_limit = 12;
#else
u32 retry_limit = 5;
#endif

int may_retry(u32 attempt)
{
	return attempt < retry_limit;
}
