/** 1–3 emoji alone stand large and without a slab (CLIENT §2). */

const EMOJI_MAX = 3;
// `v` and RGI_Emoji are newer than our compile target, not than the browsers that we support; where
// they are missing nothing is large, and nothing breaks.
const ONLY_EMOJI = ((): RegExp | undefined => {
  try {
    return new RegExp(`^(?:\\p{RGI_Emoji}\\s*){1,${EMOJI_MAX}}$`, 'v');
  } catch {
    return undefined;
  }
})();
/** Longest family of three people-with-skin-tones, three times, stays far below this. */
const UNITS_MAX = 120;

export function isOnlyEmoji(text: string): boolean {
  return text.length <= UNITS_MAX && (ONLY_EMOJI?.test(text) ?? false);
}
