export { ParseLiveQueryServer } from '../index';
