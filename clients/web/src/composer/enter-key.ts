/** What Enter does in the composer. */

export interface EnterKey {
  readonly key: string;
  readonly keyCode: number;
  readonly isComposing: boolean;
  readonly shiftKey: boolean;
  readonly altKey: boolean;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
}

// Safari reports the Enter that confirms a candidate with isComposing false and keyCode 229.
const IME_KEY_CODE = 229;

/** True when this key press sends. On touch Enter is a new line: the button sends. */
export function isSendKey(e: EnterKey, isTouch: boolean): boolean {
  if (e.key !== 'Enter' || e.isComposing || e.keyCode === IME_KEY_CODE) return false;
  if (e.ctrlKey || e.metaKey) return true;
  return !e.shiftKey && !e.altKey && !isTouch;
}
