/** The keys (Ctrl+/). */
import type { ReactNode } from 'react';
import { Sheet } from '../chat/sheet.tsx';
import { HELP } from './keys.ts';

export function Help({ close }: { close: () => void }): ReactNode {
  return (
    <Sheet title="Keyboard" close={close}>
      <div className="sheet-body">
        <dl className="keys">
          {HELP.map((line) => (
            <div key={line.keys}>
              <dt>
                <kbd>{line.keys}</kbd>
              </dt>
              <dd>{line.does}</dd>
            </div>
          ))}
        </dl>
      </div>
    </Sheet>
  );
}
