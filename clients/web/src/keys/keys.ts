/** Names of key presses: `Ctrl+K`, `Alt+Shift+ArrowUp`. Cmd counts as Ctrl where Ctrl is not the key. */

export interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
  readonly isComposing?: boolean;
}

export function nameOf(e: KeyPress): string {
  const key = e.key.length === 1 ? e.key.toUpperCase() : e.key;
  // A symbol already says whether Shift was needed for it; a named key or a letter does not.
  const isShifted = e.shiftKey && (e.key.length > 1 || key !== e.key.toLowerCase());
  const mods = [
    e.ctrlKey || e.metaKey ? 'Ctrl' : '',
    e.altKey ? 'Alt' : '',
    isShifted ? 'Shift' : '',
  ];
  return [...mods.filter((m) => m !== ''), key].join('+');
}

/** The help sheet (Ctrl+/). */
export const HELP: readonly { readonly keys: string; readonly does: string }[] = [
  { keys: 'Ctrl K', does: 'Find people and conversations' },
  { keys: 'Alt ↑ ↓', does: 'Previous or next conversation' },
  { keys: 'Alt Shift ↑ ↓', does: 'Previous or next unread conversation' },
  { keys: 'Ctrl F6', does: 'Next part of the window' },
  { keys: '↑ ↓', does: 'Move through conversations or messages' },
  { keys: 'Home End', does: 'First or last of them' },
  { keys: 'Enter', does: 'Send · open · the message’s menu' },
  { keys: 'Shift Enter', does: 'New line' },
  { keys: '↑ in an empty message', does: 'Edit your last message' },
  { keys: 'E', does: 'Edit the message' },
  { keys: 'Delete', does: 'Delete the message' },
  { keys: 'Esc', does: 'Back' },
  { keys: 'Ctrl /', does: 'These keys' },
];
