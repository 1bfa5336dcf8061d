/** Native dialogs: modal, closed by Esc or a click on the backdrop, focus returns by itself. */
import { type ReactNode, useId, useLayoutEffect, useRef } from 'react';
import { Icon } from '../art/icons.tsx';

interface SheetProps {
  readonly title: string;
  readonly side?: boolean;
  readonly close: () => void;
  readonly children: ReactNode;
  readonly foot?: ReactNode;
}

/** Open while mounted. */
export function Sheet(props: SheetProps): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  // A layout effect: it ends while the dialog is still in the page, so the focus can go back.
  useLayoutEffect(() => {
    const node = dialog.current;
    node?.showModal();
    // Else the browser takes the first control, which is the one that closes.
    node?.querySelector<HTMLElement>('[data-focus]')?.focus();
    return () => node?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className={props.side === true ? 'sheet-side' : 'card'}
      aria-labelledby={title}
      onCancel={(e) => {
        e.preventDefault();
        props.close();
      }}
      onClick={(e) => {
        if (e.target === e.currentTarget) props.close();
      }}
    >
      <div className="sheet-head">
        <h2 id={title}>{props.title}</h2>
        <button type="button" className="icon-button" aria-label="Close" onClick={props.close}>
          <Icon name="close" />
        </button>
      </div>
      {props.children}
      {props.foot !== undefined && <div className="sheet-foot">{props.foot}</div>}
    </dialog>
  );
}
