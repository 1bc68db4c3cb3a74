//# what: functions of one section have static locals of one name, a new one comes before them
//# changed: second_user
//# new: new_user
#include "kernel.h"

#define shared in_section(".sched.text") noinline

#ifdef PATCHED
shared u32 new_user(u32 value)
{
	static u32 users;

	users += read_register(value + 5);
	return users;
}
#endif

shared u32 first_user(u32 value)
{
	static u32 users;

	users += value;
	return read_register(users) + 1;
}

shared u32 second_user(u32 value)
{
	static u32 users;

	users -= value;
#ifdef PATCHED
	if (value == 77)
		return 0;
#endif
	return read_register(users) + 2;
}
