//# what: an unchanged function compares with the address of a changed one, within its own code
//# changed: default_action
#include "kernel.h"

typedef void (*action)(u32);

void default_action(u32 event)
{
#ifdef PATCHED
	wait_for(event);
#endif
	write_register(event, 0);
}

int has_default(action *actions, u32 event)
{
	return actions[event] == default_action;
}

void set_default(action *actions, u32 event)
{
	actions[event] = default_action;
}
