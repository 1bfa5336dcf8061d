/** While something opens: the mark, with the focus, so that the keyboard is never nowhere. */
import type { ReactNode } from 'react';
import { Brand } from './brand.tsx';

export function Splash(): ReactNode {
  return (
    <main
      className="splash"
      tabIndex={-1}
      aria-label="Opening Parley"
      aria-busy="true"
      ref={(node) => node?.focus()}
    >
      <Brand />
    </main>
  );
}
