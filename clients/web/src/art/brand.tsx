/** The mark: flag P, the Blue Peter, in sea; and a hoist that spells the name. */
import type { ReactNode } from 'react';

export function Brand(): ReactNode {
  return (
    <svg viewBox="0 0 44 44" aria-hidden="true" focusable="false">
      <path
        d="M7 0h30a7 7 0 0 1 7 7v30a7 7 0 0 1-7 7H7a7 7 0 0 1-7-7V7a7 7 0 0 1 7-7z"
        fill="#0a6670"
      />
      <path d="M13 13h18v18H13z" fill="#fff" />
    </svg>
  );
}
