/* base/err.h - one error idiom for the whole library.
 *
 * A function that can fail returns an enum bt_err for the program and leaves one sentence in a struct bt_diag for the
 * person: the file or key, the place, what was found and what was expected. Library code neither prints nor exits;
 * only tools/ turns a code into an exit status. Outputs named ret_* are untouched on failure. */
#ifndef BT_BASE_ERR_H
#define BT_BASE_ERR_H

enum bt_err {
    BT_OK = 0,
    BT_EUSAGE,    /* the command line or the config is wrong                               exit 2 */
    BT_EINPUT,    /* an input is missing, malformed, unsupported or in use                 exit 3 */
    BT_EDIVERGED, /* too many non-finite updates in a row                                  exit 4 */
    BT_ENOMEM,    /* out of memory                                                         exit 5 */
    BT_EIO,       /* disk full, write error                                                exit 5 */
    BT_EPARTIAL,  /* the work ran but a part of it failed                                  exit 6 */
    BT_ESTOPPED,  /* stopped by a signal after saving                                      exit 75 */
};

struct bt_diag {
    char text[2048]; /* one sentence without a newline; "" when nothing was said */
};

/* Writes the sentence and returns err, so that a failing line reads `return bt_fail(diag, BT_EINPUT, ...)`.
 * diag may be NULL. A longer sentence is cut. */
enum bt_err bt_fail(struct bt_diag *diag, enum bt_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a failed allocation: BT_ENOMEM and "out of memory". */
enum bt_err bt_fail_nomem(struct bt_diag *diag);

/* The exit status of err, as docs/config.md lists them. */
int bt_exit_code(enum bt_err err);

#endif
