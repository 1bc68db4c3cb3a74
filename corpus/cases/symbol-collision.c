//# what: a new static function has the name of a static variable that is gone
//# changed: read_gauge
//# new: gauge
#include "kernel.h"

#ifndef PATCHED
static u32 gauge;

u32 read_gauge(u32 unit)
{
	gauge += read_register(unit);
	return gauge;
}
#else
static noinline u32 gauge(u32 unit)
{
	return read_register(unit) + 1;
}

u32 read_gauge(u32 unit)
{
	wait_for(unit);
	return gauge(unit) + gauge(unit + 1);
}
#endif
