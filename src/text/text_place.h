/* text/text_place.h - where a text stands that is encoded as a part of a longer one. Tokenizers put a space, or what
 * stands for one, in front of some texts; which ones depends on it. */
#ifndef BT_TEXT_TEXT_PLACE_H
#define BT_TEXT_TEXT_PLACE_H

enum bt_text_place {
    BT_PLACE_FRONT,  /* at the very front */
    BT_PLACE_LATER,  /* behind a token that is not text */
    BT_PLACE_INSIDE, /* right behind other text: nothing is put in front of it */
};

#endif
