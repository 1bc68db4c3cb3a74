/*
 * The source demo.sh compiles twice: as it is, and with -DPATCHED. The patch
 * makes serve_request() refuse requests that are too large, with a new helper;
 * the count of served requests lives in a static local and must survive.
 */

int answer(unsigned int client, unsigned int length);
int _printk(const char *format, ...);

static unsigned int largest = 4096;

#ifdef PATCHED
static __attribute__((noinline)) int is_too_large(unsigned int client, unsigned int length)
{
	if (length <= largest)
		return 0;
	_printk("client %u asks for %u bytes\n", client, length);
	return 1;
}
#endif

int serve_request(unsigned int client, unsigned int length)
{
	static unsigned int served;

#ifdef PATCHED
	if (is_too_large(client, length))
		return -1;
#endif
	served++;
	_printk("request %u\n", served);
	return answer(client, length);
}

void set_largest(unsigned int length)
{
	largest = length;
}
