export { REASONS, type Reason } from './reasons.ts';
