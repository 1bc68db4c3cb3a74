//# what: a changed function calls a weak function that is new
//# changed: arm_alarm
//# new: alarm_delay
#include "kernel.h"

#ifdef PATCHED
__attribute__((weak)) noinline u32 alarm_delay(u32 alarm)
{
	return read_register(alarm);
}
#endif

void arm_alarm(u32 alarm)
{
#ifdef PATCHED
	write_register(alarm, alarm_delay(alarm));
#else
	write_register(alarm, 5);
#endif
}
