//# what: a new parameter, which nobody registers, beside a new variable
//# exit: 2
//# says: nothing refers to it
#include "kernel.h"

struct parameter {
	const char *name;
	void *value;
};

#ifdef PATCHED
u32 retries;
static const struct parameter retries_row keep in_section("__param") = { "retries", &retries };
#endif

void try_again(u32 count)
{
	write_register(0, count);
}
