//# what: an initcall and its stub are named after a counter and a line
//# real: 2 nothing refers to it
#ifdef NOISE
#define ID 621_7412
#define NEXT 622
#else
#define ID 618_7408
#define NEXT 619
#endif
#ifdef REAL
#define NAME late_probe
#else
#define NAME probe
#endif
#define JOIN5(a, b, c, d, e) a##b##c##d##e
#define JOIN(a, b, c, d, e) JOIN5(a, b, c, d, e)
#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#define STUB JOIN(__initstub__kmod_dev__, ID, _, NAME, 6)
#define ROW JOIN(__initcall__kmod_dev__, ID, _, NAME, 6)

int read_device(int);
#define init __attribute__((section(".init.text"), noinline, no_instrument_function))
static init int NAME(void) { return read_device(1); }
init int STUB(void) { return NAME(); }
asm(".section \".initcall6.init..kmod_dev__" TEXT(ID) "_" TEXT(NAME) "\", \"a\"\n"
    TEXT(ROW) ":\n.long " TEXT(STUB) " - .\n.previous\n");
static void *JOIN(__UNIQUE_ID___addressable___initstub__kmod_dev__, ID, _, NAME, NEXT)
    __attribute__((used, section(".discard.addressable"))) = (void *)&STUB;
int start(int v) { return read_device(v) + 1; }
