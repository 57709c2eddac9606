/* tests/report/browser.h - a headless Chromium that opens a page and says what it did, by its DevTools pipe. */
#ifndef BT_TESTS_BROWSER_H
#define BT_TESTS_BROWSER_H

#include <stddef.h>

/* $BT_CHROMIUM, or chromium in the PATH; NULL: there is none. Static. */
const char *browser_find(void);

struct browser_page {
    char *dom;         /* as it stands once the page is loaded; malloc */
    size_t requests;   /* for anything but the page itself and data in it */
    size_t complaints; /* errors and warnings of the console, exceptions */
    char first[512];   /* of either, for a message; "" */
};

/* Opens the file at an absolute path. Fails the test when the browser does not answer. `folder` is for its profile. */
void browser_open(const char *browser, const char *path, const char *folder, struct browser_page *page);

#endif
